//! Graphs: operations with their order, made by capture, that run as one operation of a stream.

use std::ffi::{c_int, c_uint};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use super::errors::code;
use super::state::*;
use crate::exec::block::splitmix;

/// What a node does, each time that its graph runs.
pub type Op = Arc<dyn Fn() + Send + Sync>;

/// Kinds of nodes, by their numbers in `CUgraphNodeType`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeKind {
    /// A launch.
    Kernel = 0,
    /// A copy.
    Copy = 1,
    /// A fill.
    Fill = 2,
    /// A host function.
    Host = 3,
    /// A launch of another graph.
    Graph = 4,
    /// A wait for an event outside of the graph.
    Wait = 6,
    /// A recording of an event for those outside.
    Record = 7,
    /// Memory that the graph allocates.
    Alloc = 10,
    /// Memory that it frees.
    Free = 11,
}

/// One operation.
#[derive(Clone)]
struct Node {
    id: usize,
    kind: NodeKind,
    /// Earlier nodes that must be done before.
    deps: Vec<usize>,
    op: Op,
}

/// Memory that a graph allocates: it keeps its address for as long as the graph lives.
pub struct GraphMemory {
    at: u64,
    /// Whether a launch has allocated it and nothing has freed it since.
    live: AtomicBool,
    /// Whether the graph frees it itself.
    freed_inside: AtomicBool,
}

impl GraphMemory {
    /// Memory at an address that was allocated for the graph.
    pub fn new(at: u64) -> GraphMemory {
        GraphMemory { at, live: AtomicBool::new(false), freed_inside: AtomicBool::new(false) }
    }

    /// The program frees it between launches.
    pub fn free_outside(&self) -> Res {
        if self.live.swap(false, Ordering::AcqRel) { Ok(()) } else { Err(code::INVALID_VALUE) }
    }

    /// The graph has a node that frees it.
    pub fn free_inside(&self) -> Res {
        if self.freed_inside.swap(true, Ordering::AcqRel) { Err(code::INVALID_VALUE) } else { Ok(()) }
    }

    /// Whether the program may use it.
    pub fn is_live(&self) -> bool {
        self.live.load(Ordering::Acquire)
    }
}

impl Drop for GraphMemory {
    fn drop(&mut self) {
        let Ok(d) = driver() else { return };
        // What the program still holds becomes an allocation like others.
        if *self.live.get_mut() {
            if let Some(block) = d.blocks.lock().get_mut(&self.at) {
                block.graph = None;
            }
        } else {
            // A context that ended meanwhile has freed it already.
            let _ = super::memory::release(d, self.at);
        }
    }
}

/// A graph.
pub struct Graph {
    /// Handle.
    pub id: usize,
    nodes: Mutex<Vec<Node>>,
    memory: Mutex<Vec<Arc<GraphMemory>>>,
}

impl Graph {
    /// Appends a node that depends on earlier ones; gives its number.
    pub fn add(&self, kind: NodeKind, deps: Vec<usize>, op: Op) -> usize {
        let id = driver().map_or(0, Driver::handle);
        let mut nodes = self.nodes.lock();
        nodes.push(Node { id, kind, deps, op });
        nodes.len() - 1
    }

    /// Keeps memory for as long as the graph lives.
    pub fn own(&self, memory: Arc<GraphMemory>) {
        self.memory.lock().push(memory);
    }

    /// For each node whether it is one of `from` or comes before one.
    pub fn ancestors(&self, from: &[usize]) -> Vec<bool> {
        let nodes = self.nodes.lock();
        let mut reached = vec![false; nodes.len()];
        for n in from {
            reached[*n] = true;
        }
        // Nodes depend on earlier ones only.
        for n in (0..nodes.len()).rev() {
            if reached[n] {
                for d in &nodes[n].deps {
                    reached[*d] = true;
                }
            }
        }
        reached
    }
}

/// A graph made ready to run.
pub struct Exec {
    nodes: Vec<Node>,
    memory: Vec<Arc<GraphMemory>>,
    auto_free: bool,
    /// Launches of one executable graph run one after the other.
    running: Mutex<()>,
}

impl Exec {
    fn new(graph: &Graph, flags: u64) -> Res<Exec> {
        const AUTO_FREE: u64 = 1;
        const DEVICE_LAUNCH: u64 = 4;
        const USE_NODE_PRIORITY: u64 = 8;
        if flags & !(AUTO_FREE | DEVICE_LAUNCH | USE_NODE_PRIORITY) != 0
            || flags & (AUTO_FREE | DEVICE_LAUNCH) == AUTO_FREE | DEVICE_LAUNCH
        {
            return Err(code::INVALID_VALUE);
        }
        if flags & DEVICE_LAUNCH != 0 {
            say("graphs that kernels launch are not supported");
            return Err(code::NOT_SUPPORTED);
        }
        Ok(Exec {
            nodes: graph.nodes.lock().clone(),
            memory: graph.memory.lock().clone(),
            auto_free: flags & AUTO_FREE != 0,
            running: Mutex::default(),
        })
    }

    /// An order of the nodes that keeps their dependencies: as captured, or drawn from the seed, so that a missing
    /// dependency shows.
    fn order(&self, seed: u64) -> Vec<usize> {
        if seed == 0 {
            return (0..self.nodes.len()).collect();
        }
        let mut rng = seed;
        let mut waiting: Vec<usize> = self.nodes.iter().map(|n| n.deps.len()).collect();
        let mut ready: Vec<usize> = (0..waiting.len()).filter(|n| waiting[*n] == 0).collect();
        let mut order = Vec::with_capacity(waiting.len());
        while !ready.is_empty() {
            let n = ready.swap_remove(splitmix(&mut rng) as usize % ready.len());
            order.push(n);
            for (later, node) in self.nodes.iter().enumerate().skip(n + 1) {
                if node.deps.contains(&n) {
                    waiting[later] -= 1;
                    if waiting[later] == 0 {
                        ready.push(later);
                    }
                }
            }
        }
        order
    }

    fn run(&self, context: &Context, seed: u64) {
        let _turn = self.running.lock();
        for n in self.order(seed) {
            if context.error.load(Ordering::Acquire) != 0 {
                return;
            }
            (self.nodes[n].op)();
        }
    }

    /// Memory that a launch before left allocated forbids another, unless the graph frees such by itself.
    fn take_memory(&self) -> Res {
        if !self.auto_free && self.memory.iter().any(|m| m.is_live()) {
            return Err(code::INVALID_VALUE);
        }
        for m in &self.memory {
            m.live.store(!m.freed_inside.load(Ordering::Acquire), Ordering::Release);
        }
        Ok(())
    }
}

impl Driver {
    /// An empty graph, which no handle names yet.
    pub fn new_graph(&self) -> Arc<Graph> {
        Arc::new(Graph { id: self.handle(), nodes: Mutex::default(), memory: Mutex::default() })
    }
}

fn graph(handle: usize) -> Res<Arc<Graph>> {
    driver()?.graphs.lock().get(&handle).cloned().ok_or(code::INVALID_VALUE)
}

fn exec(handle: usize) -> Res<Arc<Exec>> {
    driver()?.execs.lock().get(&handle).cloned().ok_or(code::INVALID_VALUE)
}

unsafe fn instantiate(out: *mut usize, handle: usize, flags: u64) -> Res {
    let d = driver()?;
    let ready = Exec::new(&*graph(handle)?, flags)?;
    let id = d.handle();
    d.execs.lock().insert(id, Arc::new(ready));
    // SAFETY: the caller of the API gives a place for a handle.
    unsafe { put(out, id) }
}

/// `CUDA_GRAPH_INSTANTIATE_PARAMS`.
#[repr(C)]
pub struct InstantiateParams {
    flags: u64,
    upload: usize,
    error_node: usize,
    result: c_uint,
}

exports! {
    /// `cuGraphCreate`
    fn cuGraphCreate(out: *mut usize, flags: c_uint) {
        let d = driver()?;
        if flags != 0 {
            return Err(code::INVALID_VALUE);
        }
        let g = d.new_graph();
        put(out, g.id)?;
        d.graphs.lock().insert(g.id, g);
        Ok(())
    }

    /// `cuGraphClone`
    fn cuGraphClone(out: *mut usize, handle: usize) {
        let (d, from) = (driver()?, graph(handle)?);
        let (nodes, memory) = (from.nodes.lock().clone(), from.memory.lock().clone());
        let g = Arc::new(Graph { id: d.handle(), nodes: Mutex::new(nodes), memory: Mutex::new(memory) });
        put(out, g.id)?;
        d.graphs.lock().insert(g.id, g);
        Ok(())
    }

    /// `cuGraphDestroy`; executable graphs made from it stay.
    fn cuGraphDestroy(handle: usize) {
        let gone = driver()?.graphs.lock().remove(&handle);
        gone.map(|_| ()).ok_or(code::INVALID_VALUE)
    }

    /// `cuGraphGetNodes`
    fn cuGraphGetNodes(handle: usize, nodes: *mut usize, count: *mut usize) {
        let g = graph(handle)?;
        let all = g.nodes.lock();
        if count.is_null() {
            return Err(code::INVALID_VALUE);
        }
        if nodes.is_null() {
            return put(count, all.len());
        }
        let room = count.read();
        for i in 0..room {
            put(nodes.add(i), all.get(i).map_or(0, |n| n.id))?;
        }
        put(count, all.len().min(room))
    }

    /// `cuGraphNodeGetType`
    fn cuGraphNodeGetType(node: usize, out: *mut c_int) {
        let graphs: Vec<_> = driver()?.graphs.lock().values().cloned().collect();
        let kind = graphs.iter().find_map(|g| g.nodes.lock().iter().find(|n| n.id == node).map(|n| n.kind));
        put(out, kind.ok_or(code::INVALID_VALUE)? as c_int)
    }

    /// `cuGraphInstantiateWithFlags`
    fn cuGraphInstantiateWithFlags(out: *mut usize, handle: usize, flags: u64) {
        instantiate(out, handle, flags)
    }

    /// `cuGraphInstantiateWithParams`
    fn cuGraphInstantiateWithParams(out: *mut usize, handle: usize, params: *mut InstantiateParams) {
        const UPLOAD: u64 = 2;
        if params.is_null() {
            return Err(code::INVALID_VALUE);
        }
        let done = instantiate(out, handle, (*params).flags & !UPLOAD);
        (*params).error_node = 0;
        (*params).result = done.is_err() as c_uint;
        done
    }

    /// `cuGraphExecDestroy`; a launch under way still ends.
    fn cuGraphExecDestroy(handle: usize) {
        let gone = driver()?.execs.lock().remove(&handle);
        gone.map(|_| ()).ok_or(code::INVALID_VALUE)
    }

    /// `cuGraphUpload`; there is nothing to upload.
    fn cuGraphUpload(handle: usize, stream: usize) {
        exec(handle)?;
        driver()?.stream(stream).map(|_| ())
    }

    /// `cuGraphLaunch`
    fn cuGraphLaunch(handle: usize, stream: usize) {
        let d = driver()?;
        let (ready, on) = (exec(handle)?, d.stream(stream)?);
        ready.take_memory()?;
        let (context, seed) = (on.0.clone(), d.config.seed);
        d.submit(&on, NodeKind::Graph, move || ready.run(&context, seed)).map(|_| ())
    }
}
