"""The responses of every route, with units and examples; requests carry parameters only."""
