"""What people read of a run: card, report, comparison."""
