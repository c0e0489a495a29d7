"""Files that are published as they are; nothing imports them."""
