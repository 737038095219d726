"""Authentication and address checks, and the audit log of refused requests."""
