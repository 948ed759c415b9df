"""How much may be sent: budgets, shares and turns of each account, over all processes."""
