"""The models: GPT's decoder, and an LSTM to compare it with. Callers use both through interface.py."""
