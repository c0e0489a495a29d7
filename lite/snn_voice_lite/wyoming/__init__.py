"""Wake words for Home Assistant: a service that speaks the Wyoming protocol, over any model that listens.

A client asks which words there are, sends sound, and is told each word that is said in it, with its time.

Nothing is imported here, so that a command line can offer `wyoming` where that package is not installed.
"""
