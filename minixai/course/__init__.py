"""Coursework: exercises that blank the library's own stages, a check that says what is wrong and why, and grading.

    exercises.py  which stages each exercise asks for         blank.py     a function without its body
    start.py      the file that a student writes in           student.py   reads that file
    fixtures.py   recorded passes, and what each stage gives  check.py     the verdict on the file, stage by stage
    report.py     what is printed; pictures.py, what is drawn mine.py      a student's stages on a photo
    runner.py     what runs a student's functions             fence.py     what keeps them in, where the system can
    worker.py     starts the runner, reads what came back     yours.py     their functions in the blanked library

For instructors (INSTRUCTOR.md):

    record.py     makes the passes; mistakes.py, what goes wrong in what is no stage of a recipe
    release.py    the tree for students, without solutions    leaks.py     whether a solution is left in it
    grade.py      many submissions, on passes not seen before submissions.py  who handed in what
    results.py    JSON, JUnit XML, a table, the answers

A stage's docstring is the exercise and its body the solution; nothing is written twice.
"""
