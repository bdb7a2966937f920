"""The paper's tables and figures as one machine measured them."""
