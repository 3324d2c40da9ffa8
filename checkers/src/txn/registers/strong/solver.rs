//! Which of two came first, for many pairs at once, so that no circle arises.
//!
//! A choice is a variable; either way it goes, edges follow. The search is conflict-driven: it guesses as the order of the
//! graph stands, and when edges close a circle, learns that not all choices on it can be as they are (J. Marques-Silva &
//! K. Sakallah, *GRASP*, IEEE Trans. Computers 48(5), 1999; M. Moskewicz et al., *Chaff*, DAC 2001). That circles of a growing
//! graph are found as edges come is what makes it one solver rather than two.
//!
//! If nothing can be right, what was learnt from what tells which circles had a part in it (L. Zhang & S. Malik, *Extracting Small
//! Unsatisfiable Cores from Unsatisfiable Boolean Formula*, SAT 2003).

use std::collections::BinaryHeap;

use super::acyclic::{ALWAYS, Acyclic, Hop};
use crate::budget::{Exhausted, Sparing};

/// An edge that a choice makes.
pub(super) type Edge = (u32, u32);

/// What follows if a choice goes one way.
#[derive(Clone, Debug, Default)]
pub(super) struct Way {
    pub edges: Vec<Edge>,
    /// Edges that nothing may follow from, and that no path may close to a circle all the same.
    pub antis: Vec<Edge>,
}

impl Way {
    /// Nothing follows.
    pub fn clear(&mut self) {
        self.edges.clear();
        self.antis.clear();
    }
}

/// A choice: one way and the other.
#[derive(Clone, Debug, Default)]
pub(super) struct Choice {
    /// Whose order decides which way is tried first: if the first node stands before the second, the first way.
    pub guess: (u32, u32),
    pub ways: [Way; 2],
}

/// Variable and way: `2 × variable + way`.
type Literal = u32;

const fn not(literal: Literal) -> Literal {
    literal ^ 1
}

const fn variable(literal: Literal) -> usize {
    (literal >> 1) as usize
}

/// What led to an assignment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reason {
    Decision,
    Clause(u32),
    /// It was learnt, in this lesson.
    Lesson(u32),
}

/// A circle that must not be.
#[derive(Clone, Debug)]
struct Circle {
    /// The nodes on it.
    nodes: Vec<u32>,
    /// The choices that make it.
    literals: Vec<Literal>,
}

/// Literals that hold and cannot all.
enum Conflict {
    Circle(Circle),
    /// They are the opposites of this clause's.
    Clause(u32),
}

/// What something was learnt from.
#[derive(Clone, Debug, Default)]
struct Lesson {
    circle: Option<Circle>,
    clauses: Vec<u32>,
    /// Variables that were assigned for good.
    facts: Vec<usize>,
}

#[derive(Clone, Copy, Debug)]
struct Assigned {
    level: u32,
    reason: Reason,
}

pub(super) struct Solver<'a> {
    graph: Acyclic,
    choices: &'a [Choice],
    /// As of [`Way`], whatever is chosen.
    antis: &'a [Edge],
    /// By literal: whether it holds.
    holds: Vec<bool>,
    assigned: Vec<Assigned>,
    trail: Vec<Literal>,
    /// Literals of the trail whose consequences are drawn.
    drawn: usize,
    /// By level: lengths of trail and graph when it began.
    levels: Vec<(usize, usize)>,
    clauses: Vec<Vec<Literal>>,
    /// By clause: the lesson that it was learnt in.
    taught: Vec<u32>,
    /// All lessons, the one that ended the search last; none unless asked for.
    lessons: Option<Vec<Lesson>>,
    /// By literal: clauses that look at it.
    watches: Vec<Vec<u32>>,
    /// By variable: how often it had a part in conflicts lately.
    activity: Vec<f64>,
    bump: f64,
    /// Variables by activity: all that are not assigned, and some that are; of some an entry that is out of date besides.
    heap: BinaryHeap<(Ranked, u32)>,
    /// By variable: whether the heap has an entry of it that is not out of date.
    queued: Vec<bool>,
    seen: Vec<bool>,
}

/// An activity, which is never not a number.
#[derive(Clone, Copy, PartialEq)]
struct Ranked(f64);

impl Eq for Ranked {}

impl PartialOrd for Ranked {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Ranked {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}

/// What follows from a literal.
fn way(choices: &[Choice], literal: Literal) -> &Way {
    &choices[variable(literal)].ways[(literal & 1) as usize]
}

/// The circle that a path makes with an edge or anti back to where it began, which holds with `literal` or in any case.
fn circle(hops: &[Hop], end: u32, literal: Option<Literal>) -> Circle {
    let tags = hops.iter().map(|hop| hop.tag).filter(|tag| *tag != ALWAYS);
    let mut literals: Vec<Literal> = tags.chain(literal).collect();
    literals.sort_unstable();
    literals.dedup();
    let nodes = hops.iter().map(|hop| hop.node).chain([end]).collect();
    Circle { nodes, literals }
}

/// The circle that a path closes to which one of these antis belongs, if there is one.
fn closed(graph: &mut Acyclic, antis: &[Edge], literal: Option<Literal>) -> Option<Conflict> {
    let closing = |(from, to): &Edge| Some(circle(&graph.path(*to, *from)?, *from, literal));
    antis.iter().find_map(closing).map(Conflict::Circle)
}

/// The same of what follows from a literal.
fn closed_by(graph: &mut Acyclic, choices: &[Choice], literal: Literal) -> Option<Conflict> {
    closed(graph, &way(choices, literal).antis, Some(literal))
}

impl<'a> Solver<'a> {
    /// Over a graph that has what holds in any case, as `antis` do.
    pub fn new(graph: Acyclic, choices: &'a [Choice], antis: &'a [Edge]) -> Self {
        let count = choices.len();
        Self {
            graph,
            choices,
            antis,
            holds: vec![false; 2 * count],
            assigned: vec![Assigned { level: 0, reason: Reason::Decision }; count],
            trail: Vec::new(),
            drawn: 0,
            levels: Vec::new(),
            clauses: Vec::new(),
            taught: Vec::new(),
            lessons: None,
            watches: vec![Vec::new(); 2 * count],
            activity: vec![0.0; count],
            bump: 1.0,
            heap: (0..count as u32).map(|v| (Ranked(0.0), v)).collect(),
            queued: vec![true; count],
            seen: vec![false; count],
        }
    }

    /// Whether all choices can be made.
    ///
    /// # Errors
    /// If the budget ended before that was known.
    pub fn solve(mut self, budget: &Sparing<'_>) -> Result<bool, Exhausted> {
        self.search(budget)
    }

    /// If not all choices can be made, the nodes of circles that suffice for that. Since each choice had to be given up both ways,
    /// those between whom it chooses are among them.
    ///
    /// # Errors
    /// If the budget ended before that was known.
    pub fn core(mut self, budget: &Sparing<'_>) -> Result<Option<Vec<u32>>, Exhausted> {
        self.lessons = Some(Vec::new());
        let right = self.search(budget)?;
        Ok(if right { None } else { Some(self.blame()) })
    }

    fn search(&mut self, budget: &Sparing<'_>) -> Result<bool, Exhausted> {
        let mut work = self.graph.work;
        loop {
            let mut conflict = self.propagate();
            budget.step(1 + (self.graph.work - work) as usize, self.bytes())?;
            work = self.graph.work;
            if conflict.is_none() && !self.guess() {
                // All is chosen. Which paths came about since antis were looked at?
                conflict = self.closed_anti();
                if conflict.is_none() {
                    return Ok(true);
                }
            }
            if conflict.is_some_and(|conflict| !self.learn(conflict)) {
                return Ok(false);
            }
        }
    }

    /// About the memory of what was learnt.
    fn bytes(&self) -> usize {
        self.clauses.len() * 64
    }

    fn is_assigned(&self, variable: usize) -> bool {
        self.holds[2 * variable] || self.holds[2 * variable + 1]
    }

    fn assign(&mut self, literal: Literal, reason: Reason) {
        debug_assert!(!self.is_assigned(variable(literal)));
        self.holds[literal as usize] = true;
        let level = self.levels.len() as u32;
        self.assigned[variable(literal)] = Assigned { level, reason };
        self.trail.push(literal);
    }

    /// Makes the next choice; false if all are made.
    fn guess(&mut self) -> bool {
        let Some(literal) = self.next() else { return false };
        self.levels.push((self.trail.len(), self.graph.len()));
        self.assign(literal, Reason::Decision);
        true
    }

    /// The way that is tried next.
    fn next(&mut self) -> Option<Literal> {
        while let Some((Ranked(rank), variable)) = self.heap.pop() {
            let at = variable as usize;
            if rank < self.activity[at] {
                continue;
            }
            self.queued[at] = false;
            if self.is_assigned(at) {
                continue;
            }
            let (first, second) = self.choices[at].guess;
            let way = u32::from(self.graph.place(first) > self.graph.place(second));
            return Some(2 * variable + way);
        }
        None
    }

    /// A path that closes an anti to a circle, if there is one.
    fn closed_anti(&mut self) -> Option<Conflict> {
        closed(&mut self.graph, self.antis, None).or_else(|| {
            let (graph, choices) = (&mut self.graph, self.choices);
            self.trail.iter().find_map(|literal| closed_by(graph, choices, *literal))
        })
    }

    /// Draws consequences; literals that hold and cannot all, if so.
    fn propagate(&mut self) -> Option<Conflict> {
        while let Some(literal) = self.trail.get(self.drawn).copied() {
            self.drawn += 1;
            for (from, to) in &way(self.choices, literal).edges {
                if let Err(hops) = self.graph.add(*from, *to, literal) {
                    return Some(Conflict::Circle(circle(&hops, *from, Some(literal))));
                }
            }
            if let Some(conflict) = closed_by(&mut self.graph, self.choices, literal) {
                return Some(conflict);
            }
            if let Some(clause) = self.watch(literal) {
                return Some(Conflict::Clause(clause));
            }
        }
        None
    }

    /// Looks at clauses whose watched literal became false since `literal` holds; one that cannot hold any more, if so.
    fn watch(&mut self, literal: Literal) -> Option<u32> {
        let false_one = not(literal);
        let mut watching = std::mem::take(&mut self.watches[false_one as usize]);
        let (mut kept, mut conflict) = (0, None);
        for at in 0..watching.len() {
            let name = watching[at];
            if conflict.is_some() {
                watching[kept] = name;
                kept += 1;
                continue;
            }
            let clause = &mut self.clauses[name as usize];
            if clause[0] == false_one {
                clause.swap(0, 1);
            }
            if self.holds[clause[0] as usize] {
                watching[kept] = name;
                kept += 1;
                continue;
            }
            let other = (2..clause.len()).find(|at| !self.holds[not(clause[*at]) as usize]);
            if let Some(other) = other {
                clause.swap(1, other);
                let watched = clause[1];
                self.watches[watched as usize].push(name);
                continue;
            }
            watching[kept] = name;
            kept += 1;
            let first = clause[0];
            if self.holds[not(first) as usize] {
                conflict = Some(name);
            } else {
                self.assign(first, Reason::Clause(name));
            }
        }
        watching.truncate(kept);
        self.watches[false_one as usize] = watching;
        conflict
    }

    /// The literals of a conflict.
    fn literals(&self, conflict: &Conflict) -> Vec<Literal> {
        match conflict {
            Conflict::Circle(circle) => circle.literals.clone(),
            Conflict::Clause(name) => {
                self.clauses[*name as usize].iter().map(|l| not(*l)).collect()
            }
        }
    }

    /// Learns from literals that hold and cannot all, and goes back; false if nothing can be right.
    fn learn(&mut self, conflict: Conflict) -> bool {
        let literals = self.literals(&conflict);
        let mut lesson = match conflict {
            Conflict::Circle(circle) => Lesson { circle: Some(circle), ..Lesson::default() },
            Conflict::Clause(name) => Lesson { clauses: vec![name], ..Lesson::default() },
        };
        let top = literals.iter().map(|l| self.assigned[variable(*l)].level).max().unwrap_or(0);
        if top == 0 {
            lesson.facts = literals.iter().map(|l| variable(*l)).collect();
            self.note(lesson);
            return false;
        }
        self.back_to(top);
        let (learnt, level) = self.analyse(literals, &mut lesson);
        let lesson = self.note(lesson);
        self.back_to(level);
        self.bump /= 0.95;
        let first = learnt[0];
        if learnt.len() == 1 {
            self.assign(first, Reason::Lesson(lesson));
        } else {
            let name = self.clauses.len() as u32;
            self.watches[learnt[0] as usize].push(name);
            self.watches[learnt[1] as usize].push(name);
            self.clauses.push(learnt);
            self.taught.push(lesson);
            self.assign(first, Reason::Clause(name));
        }
        true
    }

    /// Keeps a lesson, if lessons are asked for; its number.
    fn note(&mut self, lesson: Lesson) -> u32 {
        let Some(lessons) = &mut self.lessons else { return 0 };
        lessons.push(lesson);
        lessons.len() as u32 - 1
    }

    /// The clause of the first unique implication point, that literal first and one of the next level second; and that level.
    fn analyse(&mut self, conflict: Vec<Literal>, lesson: &mut Lesson) -> (Vec<Literal>, u32) {
        let current = self.levels.len() as u32;
        let mut learnt = vec![0];
        let (mut open, mut at, mut touched) = (0, self.trail.len(), Vec::new());
        let mut because = conflict;
        loop {
            for literal in because {
                let v = variable(literal);
                let level = self.assigned[v].level;
                touched.push(v);
                if std::mem::replace(&mut self.seen[v], true) {
                    continue;
                }
                if level == 0 {
                    lesson.facts.push(v);
                    continue;
                }
                self.raise(v);
                if level == current {
                    open += 1;
                } else {
                    learnt.push(not(literal));
                }
            }
            let literal = loop {
                at -= 1;
                let literal = self.trail[at];
                if self.seen[variable(literal)] {
                    break literal;
                }
            };
            open -= 1;
            if open == 0 {
                learnt[0] = not(literal);
                break;
            }
            because = match self.assigned[variable(literal)].reason {
                Reason::Clause(name) => {
                    lesson.clauses.push(name);
                    let clause = self.clauses[name as usize].iter();
                    clause.filter(|l| **l != literal).map(|l| not(*l)).collect()
                }
                Reason::Decision | Reason::Lesson(_) => Vec::new(),
            };
        }
        touched.into_iter().for_each(|v| self.seen[v] = false);
        let level = |l: &Literal| self.assigned[variable(*l)].level;
        let second = (1..learnt.len()).max_by_key(|at| level(&learnt[*at]));
        let back = second.map_or(0, |at| level(&learnt[at]));
        if let Some(at) = second {
            learnt.swap(1, at);
        }
        (learnt, back)
    }

    /// The nodes of all circles that the last lesson goes back to.
    fn blame(&self) -> Vec<u32> {
        let lessons = self.lessons.as_deref().unwrap_or_default();
        let mut blamed = Vec::new();
        let mut known = vec![false; lessons.len()];
        let mut told = vec![false; self.choices.len()];
        let mut open: Vec<u32> = (lessons.len() as u32).checked_sub(1).into_iter().collect();
        while let Some(lesson) = open.pop() {
            if std::mem::replace(&mut known[lesson as usize], true) {
                continue;
            }
            let Lesson { circle, clauses, facts } = &lessons[lesson as usize];
            blamed.extend(circle.iter().flat_map(|circle| &circle.nodes));
            open.extend(clauses.iter().map(|name| self.taught[*name as usize]));
            let mut facts = facts.clone();
            while let Some(fact) = facts.pop() {
                if std::mem::replace(&mut told[fact], true) {
                    continue;
                }
                match self.assigned[fact].reason {
                    Reason::Decision => {}
                    Reason::Lesson(lesson) => open.push(lesson),
                    Reason::Clause(name) => {
                        open.push(self.taught[name as usize]);
                        let others = self.clauses[name as usize].iter().map(|l| variable(*l));
                        facts.extend(others.filter(|other| *other != fact));
                    }
                }
            }
        }
        blamed
    }

    /// A variable that is assigned had a part in a conflict.
    fn raise(&mut self, variable: usize) {
        /// Beyond this all are made small again.
        const LARGE: f64 = 1e100;

        self.activity[variable] += self.bump;
        if self.activity[variable] > LARGE {
            self.activity.iter_mut().for_each(|activity| *activity /= LARGE);
            self.bump /= LARGE;
            let all = self.activity.iter().enumerate();
            self.heap = all.map(|(v, activity)| (Ranked(*activity), v as u32)).collect();
            self.queued.fill(true);
        } else {
            self.queued[variable] = false;
        }
    }

    fn back_to(&mut self, level: u32) {
        let Some((trail, graph)) = self.levels.get(level as usize).copied() else { return };
        for literal in self.trail.drain(trail..) {
            self.holds[literal as usize] = false;
            let variable = variable(literal);
            if !std::mem::replace(&mut self.queued[variable], true) {
                self.heap.push((Ranked(self.activity[variable]), variable as u32));
            }
        }
        self.drawn = self.drawn.min(trail);
        self.levels.truncate(level as usize);
        self.graph.shrink(graph);
    }
}
