"""The pages where a customer's admin, or one person, connects systems."""

from firnline.web.connect.routes import connect_routes

__all__ = ["connect_routes"]
