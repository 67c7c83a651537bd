"""Callers whom API Gateway has authorized: ``callers`` (their roles) and ``authorizer`` (what they may do)."""
