"""The system: a landscape at rest, what moves on it, and the symmetries it has."""
