"""What a browser shows: the demo page in `page/`, the reference of the routes, and how both are sent."""
