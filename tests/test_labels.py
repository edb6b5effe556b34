"""A class is found by its number or by what a person calls it; a wrong name lists what comes near."""
import pytest

from minixai.networks.labels import find_class
from minixai.networks.registry import NETWORKS

IMAGENET = NETWORKS["efficientnet_lite0"].labels()


@pytest.mark.parametrize("wanted, index", [("285", 285), (285, 285), (" 0 ", 0), ("tabby", 281), ("TABBY", 281),
                                           ("Egyptian cat", 285), ("egyptian", 285)])
def test_a_number_a_name_or_a_unique_part_of_one_is_enough(wanted, index):
    assert find_class(wanted, IMAGENET) == index


def test_a_name_that_is_also_a_part_of_others_means_itself():
    assert find_class("cat", ("tiger cat", "cat", "catamaran")) == 1


def test_two_classes_of_one_name_have_to_be_told_apart_by_number():
    with pytest.raises(ValueError, match="0 crane, 2 crane; give the number"):
        find_class("crane", ("crane", "cat", "crane"))


@pytest.mark.parametrize("wanted, hint", [
    ("retriever", "207 golden retriever"),      # several fit
    ("tabbi", "281 tabby"),                     # none fits, one is near
    ("1000", "classes 0 to 999"),
    ("-1", "classes 0 to 999"),
    ("", "no class"),
    ("²", "no class is called '²'"),            # a digit to str.isdigit, and none to int
    ("--5", "no class is called '--5'"),
    ("1_0", "no class is called '1_0'"),
    ("9" * 30, "class 9{30} does not exist"),
    ("qqqqqq", "one of 1000"),
])
def test_what_does_not_fit_is_refused_with_a_hint(wanted, hint):
    with pytest.raises(ValueError, match=hint):
        find_class(wanted, IMAGENET)


def test_a_network_without_classes_says_so():
    for wanted in ("5", "cat", ""):
        with pytest.raises(ValueError, match="no classes"):
            find_class(wanted, ())


def test_of_many_that_fit_eight_are_listed_and_the_rest_counted():
    labels = [f"grey cat {number}" for number in range(9)]
    with pytest.raises(ValueError, match=r"could be 0 grey cat 0, .*7 grey cat 7; give the number$"):
        find_class("grey", labels[:8])
    with pytest.raises(ValueError, match=r"7 grey cat 7 and 1 more; give the number$"):
        find_class("grey", labels)


def test_five_that_are_near_are_listed():
    labels = [f"tabbies{number}" for number in range(7)]
    with pytest.raises(ValueError) as error:
        find_class("tabbiess", labels)
    assert str(error.value).count("tabbies") == 1 + 5
