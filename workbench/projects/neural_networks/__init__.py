"""Lessons of part 2: perceptron, gradient descent, small networks on tables, bike sharing."""
