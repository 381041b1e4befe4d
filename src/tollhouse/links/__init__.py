"""Links to payment pages: what one sells, until when, where it stands, and paying it."""
