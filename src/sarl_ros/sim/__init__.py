"""The simulated tabletop: world, tasks with their judge, skills with their scripted expert, demonstrations."""
