"""Who may pass, and the record of those who were refused."""
