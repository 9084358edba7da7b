import pytest

from paddock.errors import UnsupportedError
from paddock.protocols import Sampling
from paddock.stages.best_of import BestOf
from paddock.stages.replies import ScoredReply, Scores
from paddock.text.dialog import Dialog, Message

PROMPTS = [Dialog((Message("user", text),)) for text in ("one", "two", "no room")]


class Replies:
    """Stands for a Sampler: replies of known rewards, and none where there is no room."""

    def replies(self, prompts, sampling):
        self.sampling = sampling
        rewards = {"one": (0.1, 0.9, 0.5), "two": (3.0, -1.0, 2.0), "no room": ()}
        return [
            [
                ScoredReply(
                    (place,),
                    f"{prompt.messages[0].content} {place}",
                    ended=reward < 2.5,
                    scores=Scores(reward, None, reward),
                )
                for place, reward in enumerate(rewards[prompt.messages[0].content])
            ]
            for prompt in prompts
        ]


def test_the_reply_of_the_highest_reward_is_given_and_whole_ones_go_first():
    completions = BestOf(Replies(), 3, 0.7).complete(PROMPTS, Sampling(temperature=0))
    assert [some[0].text for some in completions] == ["one 1", "two 2", ""]
    assert [some[0].finish_reason for some in completions] == ["stop", "stop", "error"]


def test_it_samples_as_it_was_told_to():
    replies = Replies()
    BestOf(replies, 8, 0.7).complete(PROMPTS, Sampling(n=1, temperature=0, max_new_tokens=9, seed=4))
    assert replies.sampling == Sampling(n=8, temperature=0.7, max_new_tokens=9, seed=4)


def test_it_has_no_log_probabilities():
    with pytest.raises(UnsupportedError):
        BestOf(Replies(), 2, 1.0).log_probs(PROMPTS[:1], ["x"])
