"""`minixai verify`: one heatmap from elsewhere and the photo that it explains. Print the verdict, save its picture."""
from argparse import Namespace

from minixai.cli.pictures import fitting, save
from minixai.cli.question import Question, model_and_method
from minixai.files import shown
from minixai.images import open_photo
from minixai.verify import verify


def verify_file(options: Namespace) -> int:
    """Returns 0 if the map agrees, 1 if it does not. ValueError if the map or the photo cannot be used."""
    from minixai.verification.saved_map import read_map  # late: the tree for students has no verification
    saved = read_map(options.map)
    question = Question(options, *model_and_method(options))
    preprocess = question.model.preprocess
    image = preprocess(open_photo(options.image)).to(question.device)
    verdict = verify(saved, question.model, image, question.method, question.target, question.layer, question.head)
    print(verdict)
    picture = verdict.figure(preprocess.undo(image)[0])
    path = save(options.out / f"{fitting(options.map.stem)}_verdict.png", picture.savefig, format="png")
    print(f"saved {shown(path)}")
    return 0 if verdict.agrees else 1
