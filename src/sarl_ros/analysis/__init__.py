"""What a run's records say once it is over."""
