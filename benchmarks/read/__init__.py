"""The read path beside its peers: one data set, one question, the same load."""
