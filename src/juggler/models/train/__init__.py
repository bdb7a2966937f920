"""The one training loop: recipes, losses, optimisation, and a run's state."""
