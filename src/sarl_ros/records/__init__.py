"""A run's records as a whole: made again from bags, merged, compared, checked against each other."""
