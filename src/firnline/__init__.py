"""Firnline: one GraphQL endpoint per customer over their CRM, ERP and help desk."""

__version__ = "0.1.0"
