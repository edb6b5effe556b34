"""Coursework: exercises that blank the library's own stages, a check that says what is wrong and why, and grading.

    exercises.py  which stages each exercise asks for         blank.py     a function without its body
    fixtures.py   recorded passes, and what each stage gives  check.py     the verdict on one student's file
    release.py    the tree for students, without solutions    grade.py     many submissions, each in its own process

A stage's docstring is the exercise and its body the solution; nothing is written twice.
"""
