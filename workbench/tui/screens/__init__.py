"""The screens: home, one run, help, questions."""
