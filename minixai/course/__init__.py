"""Coursework: exercises made of the library's own functions, a check for students, and grading for instructors.

The docstring of a function is the exercise, and its body is the solution. The files, by command:

    minixai start 02                    write a file with blank functions
        exercises.py    the functions and the question of each exercise
        blank.py        a function without its body
        start.py        the text of the file
    minixai check 02                    run the student's functions, and compare their results
        student.py      reads the student's file
        fixtures.py     recorded inputs and expected results
        worker.py       starts a process for the student's code, and reads its results
        runner.py       in that process: calls one function
        fence.py        in that process: a sandbox around the student's code
        check.py        the verdict on each function
        report.py       what is printed
        pictures.py     what is drawn
    minixai explain --mine FILE         explain a photo with the student's functions
        mine.py         puts them into a recipe
    minixai release OUT                 copy the repository for students, with blank functions
        release.py      makes the copy
        leaks.py        searches the copy for solutions
        yours.py        in the copy: a blank function calls the student's function
    minixai grade FOLDER                run all submissions on hidden inputs
        submissions.py  finds the files
        grade.py        runs them
        results.py      writes JSON, JUnit XML and tables
    python -m minixai.course.record     make the recorded inputs and results again
        record.py       makes them
        mistakes.py     known mistakes, whose results are recorded too

command.py has the command line. INSTRUCTOR.md is for instructors, and STUDENT.md becomes the README of the copy.
"""
