"""Figures from models and people; returns data, draws nothing."""
