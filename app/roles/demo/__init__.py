"""`demo`: a meeting with made-up people; says what arrived."""
