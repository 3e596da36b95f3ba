"""What the policy of a pool decides, fault by fault; the time is the test's."""

from __future__ import annotations

from itertools import pairwise

import pytest

from fasthep_parsl.blocks.block_state import BlockManagers
from fasthep_parsl.blocks.scaling_policy import LAG, PARDON, ScalingPolicy
from fasthep_parsl.interfaces import Job
from fasthep_parsl.plan import PlanBlock, PlanPool, PlanScaling


def pool(blocks=4, workers_per_block=2, **scaling):
    return PlanPool(
        name="cpu",
        workers=blocks * workers_per_block,
        provider="slurm",
        workers_per_block=workers_per_block,
        blocks=blocks,
        block=PlanBlock(memory=1, walltime=3600),
        scaling=PlanScaling(**scaling),
    )


class Story:
    """A policy, a clock, and what the batch system and the interchange would say if they were asked."""

    def __init__(self, known_good=False, **options):
        self.policy = ScalingPolicy(pool(**options), known_good)
        self.now = 1000.0
        self.jobs: dict[str, Job] = {}
        self.managers: dict[int, BlockManagers] = {}
        self.submitted = 0
        self.questions: list[float] = []
        self.listing = True
        """Whether the batch system answers."""
        self.refusal: tuple[str, bool] | None = None

    def tick(self, open_tasks, *, look=True):
        """Do once what a running pool does every half second; return the decision."""
        if look:
            self.policy.see_managers(self.managers, self.now)
        asked = self.policy.question(self.now)
        if asked:
            self.questions.append(self.now)
        if asked and self.listing:
            self.policy.see_jobs(self.jobs, self.now, [block.number for block in asked])
        decision = self.policy.decide(open_tasks, self.now)
        for number in decision.remove:
            self.jobs.pop(f"j{number}", None)
            self.managers.pop(number, None)
        for _ in range(decision.submit):
            if self.refusal:
                self.policy.refused(self.refusal[0], self.now, transient=self.refusal[1])
                break
            number, self.submitted = self.submitted, self.submitted + 1
            self.jobs[f"j{number}"] = Job(f"j{number}", "pending")
            self.policy.submitted(number, f"j{number}", self.now)
        return decision

    def go(self, seconds, open_tasks, step=0.5):
        """Let time pass; return all decisions that were any."""
        decisions = []
        for _ in range(round(seconds / step)):
            self.now += step
            decision = self.tick(open_tasks)
            if decision.submit or decision.hold or decision.remove or decision.give_up:
                decisions.append(decision)
        return decisions

    def bring_up(self, *numbers, tasks=1, node="n1"):
        for number in numbers:
            self.jobs[f"j{number}"] = Job(f"j{number}", "running", node)
            self.managers[number] = BlockManagers((f"m{number}",), tasks, 0.0 if tasks else 1.0)

    def end(self, *numbers, node="", reason=""):
        for number in numbers:
            self.jobs[f"j{number}"] = Job(f"j{number}", "ended", node, reason)
            self.managers.pop(number, None)

    def blocks_with(self, state):
        return [event.block for event in self.policy.events if event.state == state]

    def alive(self):
        return {block.number for block in self.policy.alive()}


@pytest.fixture
def up():
    """Four blocks of two workers, all up, all busy."""
    story = Story()
    story.tick(8)
    story.bring_up(0, 1, 2, 3)
    story.go(60, 8)
    assert story.policy.known_good
    return story


# --- how many --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("tasks", "blocks"), [(0, 0), (1, 1), (2, 1), (3, 2), (7, 4), (1000, 4)])
def test_there_are_as_many_blocks_as_tasks_need_and_the_pool_has(tasks, blocks):
    assert Story().tick(tasks).submit == blocks


def test_the_least_number_is_kept_while_there_is_work_and_none_without():
    story = Story(min_blocks=3, idle=10)
    assert story.tick(1).submit == 3
    story.bring_up(0, 1, 2, tasks=0)
    story.managers = {n: BlockManagers((f"m{n}",), 0, 500.0) for n in range(3)}
    assert story.go(120, 1) == []
    story.go(120, 0)
    assert story.alive() == set()


def test_submissions_are_capped_per_minute():
    story = Story(blocks=30, workers_per_block=1, submissions_per_minute=7)
    assert [story.tick(30).submit, story.tick(30).submit] == [7, 0]
    assert sum(d.submit for d in story.go(59, 30)) == 0
    assert sum(d.submit for d in story.go(10, 30)) == 7


def test_nothing_is_asked_while_all_blocks_beat(up):
    before = len(up.questions)
    up.go(600, 8)
    assert len(up.questions) == before


def test_a_long_wait_in_the_queue_costs_two_questions_a_minute():
    story = Story()
    story.go(120, 8)
    first = len(story.questions)
    assert first <= 12
    story.go(600, 8)
    assert 18 <= len(story.questions) - first <= 21


@pytest.mark.parametrize("poll", [1, 5, 9.5])
def test_a_short_time_between_questions_holds_all_the_time(poll):
    """Not six at once and then none for a minute, in which a job fails and another one would."""
    story = Story(poll=poll)
    story.go(120, 8)
    gaps = {after - before for before, after in pairwise(story.questions)}
    assert gaps == {poll}


# --- blocks that were up and go --------------------------------------------------------------------------


def test_a_lost_block_is_replaced_at_once_when_its_job_has_ended(up):
    up.end(2)
    decisions = up.go(2, 8)
    assert [d.submit for d in decisions] == [1]
    assert up.blocks_with("lost") == [2]
    assert up.policy.failed_nodes == {}


def test_a_lost_block_is_removed_and_replaced_although_its_job_runs(up):
    del up.managers[2]
    removed, submitted = zip(*[(d.remove, d.submit) for d in up.go(8, 8)], strict=True)
    assert sum(removed, ()) == (2,)
    assert sum(submitted) == 1
    assert up.blocks_with("lost") == [2]


def test_a_lost_block_is_not_replaced_without_work(up):
    up.end(2)
    assert not any(d.submit for d in up.go(30, 0))


def test_contact_that_comes_back_in_time_costs_nothing(up):
    managers = up.managers.pop(2)
    up.go(4, 8)
    up.managers[2] = managers
    assert up.go(60, 8) == []
    assert up.blocks_with("lost") == []


def test_a_vacated_block_that_waits_again_is_replaced(up):
    up.jobs["j1"] = Job("j1", "pending", reason="vacated")
    del up.managers[1]
    decisions = up.go(10, 8)
    assert [n for d in decisions for n in d.remove] == [1]
    assert sum(d.submit for d in decisions) == 1


def test_a_draining_block_is_replaced_early_and_is_no_loss(up):
    up.managers[1] = BlockManagers(("m1",), 2, 0.0, draining=True)
    decisions = up.go(30, 8)
    assert [(d.submit, d.remove) for d in decisions] == [(1, ())]
    up.managers[1] = BlockManagers(("m1",), 0, 1.0, draining=True)
    assert [d.remove for d in up.go(30, 8)] == [(1,)]
    assert up.blocks_with("draining") == [1]
    assert up.blocks_with("lost") == up.blocks_with("failed") == []


def test_a_draining_block_that_ends_is_no_loss(up):
    up.managers[1] = BlockManagers(("m1",), 2, 0.0, draining=True)
    up.go(10, 8)
    up.end(1)
    up.go(40, 8)
    assert up.blocks_with("ended") == [1]
    assert up.blocks_with("lost") == up.blocks_with("failed") == []


def test_a_block_that_drained_and_ended_unseen_is_no_loss(up):
    """Its last tasks were short: the interchange was not asked between its last word and its end."""
    up.go(3300, 8)
    up.end(1)
    up.go(40, 8)
    assert up.blocks_with("ended") == [1]
    assert up.blocks_with("lost") == up.blocks_with("failed") == []


def test_a_draining_block_that_falls_silent_is_removed(up):
    up.managers[1] = BlockManagers(("m1",), 2, 0.0, draining=True)
    up.go(10, 8)
    del up.managers[1]
    up.listing = False
    assert [d.remove for d in up.go(40, 8)] == [(1,)]


def test_two_lost_at_once_are_both_asked_for_at_once(up):
    """One of them gives its work back: that must not hide the suspicion about the other."""
    up.managers[3] = BlockManagers(("m3",), 1, 0.0, draining=True)
    up.go(60, 8)
    while up.now < up.questions[-1] + 6:
        up.go(0.5, 8)
    before = len(up.questions)
    up.end(2, 3)
    up.go(1, 8)
    assert len(up.questions) == before + 1


def test_a_block_of_several_nodes_lives_as_long_as_one_of_them(up):
    up.managers[0] = BlockManagers(("m0", "m0b"), 2, 0.0)
    up.go(10, 8)
    up.managers[0] = BlockManagers(("m0b",), 1, 0.0)
    assert up.go(60, 8) == []


# --- blocks that never come up ---------------------------------------------------------------------------


def test_a_job_that_is_not_listed_yet_has_not_ended():
    story = Story()
    story.tick(8)
    story.jobs.clear()
    story.go(LAG - 1, 8)
    assert story.blocks_with("failed") == []
    story.go(20, 8)
    assert sorted(story.blocks_with("failed")) == [0, 1, 2, 3]


def test_blocks_that_fail_together_are_one_round_and_waits_double():
    story = Story(known_good=True, submissions_per_minute=60)
    waits = []
    for _ in range(10):
        story.go(400, 8)
        at = story.now
        story.end(*story.alive(), node="")
        while not story.blocks_with("failed"):
            story.now += 0.5
            story.tick(8)
            assert story.now < at + 60
        failed = story.now
        assert story.policy.decide(8, story.now).submit == 0
        while not story.policy.decide(8, story.now).submit:
            story.now += 0.5
        waits.append(story.now - failed)
        story.policy.events.clear()
    assert waits == [2, 4, 8, 16, 32, 64, 128, 256, 300, 300]


def test_a_block_that_comes_up_ends_the_waiting():
    story = Story(known_good=True, submissions_per_minute=60)
    for _ in range(5):
        story.go(400, 8)
        story.end(*story.alive())
        story.go(35, 8)
    story.go(400, 8)
    first, *others = sorted(story.alive())
    story.end(*others)
    story.go(35, 8)
    assert len(story.alive()) == 1
    story.bring_up(first)
    story.go(1, 8)
    assert len(story.alive()) == 4


def test_three_rounds_without_any_success_are_enough():
    story = Story()
    decisions = []
    for _ in range(100):
        story.end(*story.alive(), node="n1", reason="failed (NonZeroExitCode)")
        decisions += story.go(5, 8)
        if decisions and decisions[-1].give_up:
            break
    assert decisions[-1].give_up == "its blocks fail before any worker connects"
    assert decisions[-1].submit == 0
    assert story.submitted <= 3 * 4
    assert story.now < 1000 + 120


def test_failures_do_not_condemn_a_pool_while_a_block_is_starting():
    story = Story(start=100)
    story.tick(8)
    story.jobs["j3"] = Job("j3", "running", "good")
    for _ in range(12):
        story.end(*(story.alive() - {3}), node="bad")
        assert not any(d.give_up for d in story.go(5, 8))
    story.go(70, 8)
    assert story.go(1, 8)[-1].give_up  # it has not come up in time either


def test_a_pool_that_worked_is_never_given_up(up):
    up.refusal = ("no", False)
    up.end(0, 1, 2, 3)
    assert not any(d.give_up for d in up.go(3600, 8))


def test_a_node_on_which_blocks_fail_is_avoided_and_others_are_not():
    story = Story(known_good=True, failures_per_node=2)
    story.tick(8)
    story.end(0, node="bad")
    story.end(1, node="unlucky")
    story.end(2, node="")
    story.go(30, 8)
    assert story.policy.avoid == ()
    story.end(max(story.alive()), node="bad")
    story.go(30, 8)
    assert story.policy.avoid == ("bad",)


def test_an_avoided_node_is_tried_again_after_a_while():
    story = Story(known_good=True, failures_per_node=2)
    story.tick(4)
    story.end(0, 1, node="repaired")
    story.go(30, 4)
    assert story.policy.avoid == ("repaired",)
    story.go(PARDON, 4, step=10)
    assert story.policy.avoid == ()


def test_when_all_nodes_are_avoided_none_is():
    """Slurm refuses what excludes all nodes; without that a hiccup of the file system would end the pool."""
    story = Story(failures_per_node=2)
    story.tick(4)
    story.end(0, 1, node="only")
    story.go(15, 0)
    assert story.policy.avoid == ("only",)
    story.refusal = ("Requested node configuration is not available", False)
    story.go(15, 4)
    assert story.policy.avoid == ()
    story.refusal = None
    story.go(60, 4)
    assert len(story.alive()) == 2


def test_a_job_without_workers_is_replaced_after_a_while():
    story = Story(start=50)
    story.tick(2)
    story.jobs["j0"] = Job("j0", "running", "n1")
    assert story.go(50, 2) == []
    decisions = story.go(20, 2)
    assert [n for d in decisions for n in d.remove] == [0]
    assert sum(d.submit for d in decisions) == 1
    assert story.policy.failed_nodes == {"n1": 1}
    assert "within 50 s" in story.policy.blocks[0].reason


def test_a_block_that_was_connected_but_not_looked_at_is_not_overdue():
    story = Story(start=50)
    story.tick(2)
    story.jobs["j0"] = Job("j0", "running", "n1")
    story.go(40, 2)
    story.bring_up(0)
    for _ in range(40):  # nobody asks the interchange
        story.now += 0.5
        assert story.tick(2, look=False).remove == ()


@pytest.mark.parametrize("was_up", [False, True])
def test_a_held_block_is_removed_and_replaced(was_up):
    story = Story()
    story.tick(2)
    if was_up:
        story.bring_up(0)
        story.go(20, 2)
        story.managers.clear()
    story.jobs["j0"] = Job("j0", "held", reason="disk is full")
    decisions = story.go(20, 2)
    assert [n for d in decisions for n in d.remove] == [0]
    assert sum(d.submit for d in decisions) == 1
    assert story.blocks_with("lost" if was_up else "failed") == [0]
    assert story.policy.blocks[0].reason == "held: disk is full"


def test_a_job_that_is_vacated_before_its_workers_came_gets_its_time_anew():
    story = Story(start=100)
    story.tick(2)
    for state in ("running", "pending", "running"):
        story.jobs["j0"] = Job("j0", state, "n1")
        story.go(65, 2)
    assert story.alive() == {0}


# --- a batch system that says no, or nothing -------------------------------------------------------------


def test_a_pool_that_is_refused_three_times_is_given_up_with_the_message():
    story = Story()
    story.refusal = ("sbatch: error: Invalid account", False)
    story.tick(8)
    decisions = story.go(30, 8)
    assert decisions[-1].give_up == "its jobs are refused: sbatch: error: Invalid account"
    assert [d.submit for d in decisions if d.submit] == [4, 4]  # after 2 and 4 s; only the first of each is tried


def test_refusals_are_a_limit_while_other_blocks_wait():
    story = Story()
    story.tick(2)
    story.refusal = ("QOSMaxSubmitJobPerUserLimit", False)
    decisions = story.go(3600, 8)
    assert not any(d.give_up for d in decisions)
    assert len(decisions) < 25
    story.end(0, node="n1")  # that it fails makes room: what was refused before does not count
    story.refusal = None
    assert not any(d.give_up for d in story.go(400, 8))
    assert len(story.alive()) > 1


def test_a_batch_system_out_of_reach_is_waited_for_gently():
    story = Story()
    story.refusal = ("Unable to contact slurm controller", True)
    decisions = story.go(590, 8)
    assert not any(d.give_up for d in decisions)
    assert len(decisions) < 30  # 20 of these take a minute each without doubling
    story.refusal = None
    story.go(31, 8)
    assert len(story.alive()) == 4


def test_a_batch_system_out_of_reach_for_ten_minutes_is_enough():
    story = Story()
    story.refusal = ("Unable to contact slurm controller", True)
    assert story.go(700, 8)[-1].give_up.startswith("the batch system cannot be reached: Unable")


def test_a_minute_without_the_batch_system_costs_nothing(up):
    up.listing, up.refusal = False, ("Unable to contact", True)
    assert up.go(60, 8) == []


def test_blocks_that_wait_survive_an_hour_without_the_batch_system():
    story = Story()
    story.tick(4)
    story.go(10, 4)
    story.listing, story.refusal = False, ("Unable to contact", True)
    assert not any(d.give_up or d.remove for d in story.go(3600, 8))
    assert story.alive() == {0, 1}


# --- less work -------------------------------------------------------------------------------------------


def test_blocks_without_work_are_held_first_and_removed_after_a_fresh_look(up):
    up.managers[1] = BlockManagers(("m1",), 0, 61.0)
    up.now += 0.5
    decision = up.tick(6)
    assert (decision.hold, decision.remove) == ((1,), ())
    up.now += 0.5
    assert up.tick(6, look=False).remove == ()
    up.managers[1] = BlockManagers(("m1",), 1, 0.0)  # a task came before it was told
    up.now += 0.5
    assert up.tick(6).remove == ()
    up.managers[1] = BlockManagers(("m1",), 0, 0.1)
    up.now += 0.5
    assert up.tick(6).remove == (1,)


def test_only_those_without_work_go(up):
    up.managers[0] = BlockManagers(("m0",), 0, 30.0)
    up.managers[1] = BlockManagers(("m1",), 0, 70.0)
    assert [d.hold for d in up.go(1, 1) if d.hold] == [(1,)]


def test_a_block_without_work_stays_if_it_is_wanted(up):
    up.managers[1] = BlockManagers(("m1",), 0, 500.0)
    assert up.go(60, 8) == []


def test_blocks_that_wait_for_nothing_go_last_come_first():
    story = Story()
    story.tick(8)
    assert story.go(50, 3) == []
    decisions = story.go(20, 3)
    assert sorted(n for d in decisions for n in d.remove) == [2, 3]
    assert not any(d.hold for d in decisions)


def test_a_short_lull_removes_nothing():
    story = Story()
    story.tick(8)
    for _ in range(5):
        assert story.go(50, 1) == []
        assert story.go(1, 8) == []


def test_a_block_that_comes_up_when_it_was_to_go_unused_stays_if_it_has_work():
    story = Story(idle=10)
    story.tick(8)
    story.go(9.5, 1)
    for _ in range(4):  # the interchange has not been asked since
        story.now += 0.5
        story.tick(1, look=False)
    story.bring_up(3, tasks=1)
    story.now += 0.5
    assert 3 not in story.tick(1).remove
    assert story.policy.blocks[3].phase == "up"


def test_at_the_end_nothing_is_left(up):
    for number in range(4):
        up.managers[number] = BlockManagers((f"m{number}",), 0, 61.0)
    up.go(3, 0)
    assert up.alive() == set()
    assert up.go(600, 0) == []
