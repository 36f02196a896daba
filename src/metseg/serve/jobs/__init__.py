"""The work on studies: phases as plain functions, a durable workflow around them, and the worker that does them."""
