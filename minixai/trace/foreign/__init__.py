"""Recording from networks that are not minixai's: CNNs by a hook, ViTs by the attention that torch computes in them."""
