"""Lessons: steps with a text, an experiment, what to predict of it and what to see."""

from learnmech.lab.lessons.reading import Lesson, Step, lesson_of, lessons
from learnmech.lab.lessons.subjects import check, subject_of

__all__ = ["Lesson", "Step", "check", "lesson_of", "lessons", "subject_of"]
