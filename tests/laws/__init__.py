"""Every law of rewriting by itself: both sides on random and special inputs."""
