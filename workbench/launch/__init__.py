"""From a recipe to a living process: devices, the start, the supervisor above each worker, estimates, the doctor."""
