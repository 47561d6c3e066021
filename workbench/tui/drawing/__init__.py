"""How cells reach the terminal: colours, strips, and the frame's difference. Textual's insides stand here."""
