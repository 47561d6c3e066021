"""Lessons of part 3: classifiers of pictures, transfer learning, style transfer."""
