"""The screens: lists, one run, forms, trying a network, help, questions."""
