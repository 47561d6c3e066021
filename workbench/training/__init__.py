"""What trains: Project as a lesson writes it, the loop, and the processes that train, answer and describe."""
