"""What made published figures and is no product."""
