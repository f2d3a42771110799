"""The commands, apart from the parsing of their options; everything heavy is imported late."""
