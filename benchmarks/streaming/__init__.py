"""Sound that goes on: what it costs, how late a word is known, how many streams a service bears."""
