"""The outbound client: what admitting, retrying and keeping within limits cost."""
