"""How cells reach the terminal: colours, strips, and the frame diff. Code that depends on Textual's internals is here."""
