"""Small offline worlds with their own tiny models: everything about them can be computed exactly."""
