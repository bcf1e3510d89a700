//! Control operations: branches, calls, exits, and the points where lanes or warps meet.

use super::code::{Callee, Ctl, Inst, LANES, Program, TAG_CODE, TAG_LOCAL, TAG_MASK};
use super::warp::{Group, State, Warp};
use crate::checks::FaultKind;

/// Deepest chain of calls; real devices run out of stack as well.
const MAX_DEPTH: usize = 1024;

impl Warp {
    /// Carries out a control operation of the current group for the lanes of `m`. `Ok(true)` ends the turn.
    ///
    /// # Safety
    /// The warp must be laid out for `program`, which `ins` belongs to.
    pub(super) unsafe fn control(&mut self, program: &Program, ins: &Inst, m: u32) -> Result<bool, ()> {
        if m == 0 {
            self.groups[self.current].pc += 1;
            return Ok(false);
        }
        // SAFETY: operands of control operations are slots of the program, in all branches below.
        unsafe {
            match ins.ctl {
                Ctl::Bra => self.diverge(m, ins.imm as u32),
                Ctl::BrxIdx => self.branch_table(program, ins, m)?,
                Ctl::Exit => self.exit(m),
                Ctl::Ret => self.ret(program, m),
                Ctl::Call => {
                    self.split(m);
                    self.call(program, ins, ins.imm as usize)?;
                }
                Ctl::CallIndirect => self.call_indirect(program, ins, m)?,
                Ctl::Sync => self.sync(ins, m)?,
                Ctl::BarSync | Ctl::BarRed => self.barrier(ins, m)?,
                Ctl::BarArrive => {
                    self.arrive(ins, m)?;
                    self.split(m);
                    self.groups[self.current].pc += 1;
                }
                Ctl::Print => self.print(program, ins, m)?,
                Ctl::Assert => {
                    self.assertion(program, ins, m);
                    return Err(());
                }
                Ctl::Trap => {
                    self.fault(ins, m.trailing_zeros(), FaultKind::Trap, 0, 0);
                    return Err(());
                }
                Ctl::Yield => {
                    self.groups[self.current].pc += 1;
                    return Ok(true);
                }
                Ctl::None => unreachable!("not a control operation"),
            }
        }
        Ok(false)
    }

    /// Leaves only the lanes of `m` in the current group; the others go on behind the instruction.
    fn split(&mut self, m: u32) {
        let g = &mut self.groups[self.current];
        let rest = g.mask & !m;
        if rest != 0 {
            g.mask = m;
            let other = Group { pc: g.pc + 1, mask: rest, state: State::Run, stack: g.stack.clone() };
            self.groups.push(other);
        }
    }

    fn diverge(&mut self, taken: u32, target: u32) {
        // SAFETY: a warp's context outlives its run.
        unsafe { (*self.cx).counters.divergent_branches += 1 };
        self.split(taken);
        self.groups[self.current].pc = target;
    }

    unsafe fn branch_table(&mut self, program: &Program, ins: &Inst, m: u32) -> Result<(), ()> {
        // SAFETY: the index is a 32-bit slot.
        let index = unsafe { self.lanes32(ins.r[0]) };
        let table = &program.tables[ins.imm as usize];
        self.split(m);
        let mut left = m;
        loop {
            let lane = left.trailing_zeros();
            let wanted = index[lane as usize];
            let same = left & lane_mask(|l| index[l] == wanted);
            let Some(&target) = table.get(wanted as usize) else {
                self.fault(ins, lane, FaultKind::BadBranch, wanted as u64, 0);
                return Err(());
            };
            left &= !same;
            if left == 0 {
                let g = &mut self.groups[self.current];
                (g.pc, g.mask) = (target, same);
                return Ok(());
            }
            let stack = self.groups[self.current].stack.clone();
            self.groups.push(Group { pc: target, mask: same, state: State::Run, stack });
        }
    }

    fn exit(&mut self, m: u32) {
        self.split(m);
        self.groups.swap_remove(self.current);
        self.live &= !m;
        // Whoever waits for lanes that are gone looks again.
        for g in &mut self.groups {
            if let State::Sync(_) = g.state {
                g.state = State::Run;
            }
        }
    }

    /// Where the local variables of the current call count from, for a lane of the current group.
    unsafe fn frame_base(&self, program: &Program, m: u32) -> u32 {
        // SAFETY: the frame pointer is a 64-bit slot.
        program.frame_pointer.map_or(0, |slot| unsafe { self.lanes64(slot)[m.trailing_zeros() as usize] as u32 })
    }

    unsafe fn set_frame_base(&mut self, program: &Program, m: u32, base: u32) {
        if let Some(slot) = program.frame_pointer {
            // SAFETY: as above.
            unsafe { super::ops::broadcast::<u64>(self, slot, m, base as u64) };
        }
    }

    unsafe fn ret(&mut self, program: &Program, m: u32) {
        if self.groups[self.current].stack.is_empty() {
            return self.exit(m);
        }
        self.split(m);
        let Some((pc, site)) = self.groups[self.current].stack.pop() else { return };
        self.groups[self.current].pc = pc + 1;
        // The function that returns is the one whose code holds the return.
        // SAFETY: local memory is laid out for the program.
        unsafe {
            let callee = &program.callees[(site >> 16) as usize];
            let again = self.groups[self.current].stack.iter().any(|(_, s)| s >> 16 == site >> 16);
            let below = self.frame_base(program, m);
            let base = if again { below - program.level } else { below };
            for ((to, size), (from, _)) in program.sites[(site & 0xffff) as usize].results.iter().zip(&callee.returns) {
                self.copy_local(m, base + to, below + from, *size, program.local);
            }
            if again {
                self.set_frame_base(program, m, base);
                self.restore(callee, m);
            }
        }
    }

    unsafe fn copy_local(&mut self, m: u32, to: u32, from: u32, size: u32, stride: u32) {
        for lane in (0..LANES).filter(|l| (m >> l) & 1 != 0) {
            // SAFETY: offsets come from the layout of local memory, `stride` bytes a lane.
            unsafe {
                let base = self.local.add(lane * stride as usize);
                std::ptr::copy(base.add(from as usize), base.add(to as usize), size as usize);
            }
        }
    }

    /// Calls function `target` with all lanes of the current group.
    unsafe fn call(&mut self, program: &Program, ins: &Inst, target: usize) -> Result<(), ()> {
        let (pc, m) = (self.groups[self.current].pc, self.groups[self.current].mask);
        let callee = &program.callees[target];
        // SAFETY: passed on from the caller.
        unsafe {
            // Registers and variables of a function exist once; a call that it makes to itself puts the registers aside
            // and its variables behind the others.
            let again = self.groups[self.current].stack.iter().any(|(_, site)| site >> 16 == target as u32);
            let above = self.frame_base(program, m);
            let base = if again { above + program.level } else { above };
            let deep = self.groups[self.current].stack.len() >= MAX_DEPTH;
            if deep || again && (program.level == 0 || base + program.level > program.local) {
                self.fault(ins, m.trailing_zeros(), FaultKind::StackOverflow, 0, 0);
                return Err(());
            }
            for ((from, size), (to, _)) in program.sites[ins.id as usize].args.iter().zip(&callee.params) {
                self.copy_local(m, base + to, above + from, *size, program.local);
            }
            if again {
                self.save(callee, m);
                self.set_frame_base(program, m, base);
            }
        }
        let g = &mut self.groups[self.current];
        g.stack.push((pc, ins.id | (target as u32) << 16));
        g.pc = callee.entry;
        Ok(())
    }

    /// Puts a function's registers aside for the lanes of `m`.
    unsafe fn save(&mut self, callee: &Callee, m: u32) {
        self.saved.resize_with(LANES, Vec::new);
        for lane in super::address::active(m) {
            // SAFETY: slots and predicates come from the layout.
            unsafe {
                for (slot, bytes) in &callee.slots {
                    let at = self.regs.add(*slot as usize + lane * *bytes as usize);
                    self.saved[lane].extend_from_slice(std::slice::from_raw_parts(at, *bytes as usize));
                }
                for p in callee.preds.0..callee.preds.1 {
                    let bit = (*self.preds.add(p as usize) >> lane) & 1;
                    self.saved[lane].push(bit as u8);
                }
            }
        }
    }

    /// Brings back what [`Warp::save`] put aside last.
    unsafe fn restore(&mut self, callee: &Callee, m: u32) {
        let preds = (callee.preds.1 - callee.preds.0) as usize;
        let size = callee.slots.iter().map(|(_, bytes)| *bytes as usize).sum::<usize>() + preds;
        for lane in super::address::active(m) {
            let at = self.saved[lane].len() - size;
            let bytes = self.saved[lane].split_off(at);
            let (mut rest, flags) = bytes.split_at(size - preds);
            // SAFETY: as in `save`.
            unsafe {
                for (slot, bytes) in &callee.slots {
                    let (value, behind) = rest.split_at(*bytes as usize);
                    let to = self.regs.add(*slot as usize + lane * value.len());
                    std::ptr::copy_nonoverlapping(value.as_ptr(), to, value.len());
                    rest = behind;
                }
                for (p, bit) in (callee.preds.0..).zip(flags) {
                    let word = self.preds.add(p as usize);
                    *word = (*word & !(1 << lane)) | (*bit as u32) << lane;
                }
            }
        }
    }

    /// Bytes of device or local memory from a generic address of a lane on, up to the end of what holds it.
    unsafe fn bytes_at(&self, program: &Program, lane: usize, at: u64) -> Option<&[u8]> {
        // SAFETY: the context and the arena outlive the run, and local memory is laid out for the program; the slice
        // is read while no other lane of this worker runs.
        unsafe {
            if at & TAG_MASK == TAG_LOCAL {
                let (offset, len) = ((at & !TAG_MASK) as usize, program.local as usize);
                let start = self.local.add(lane * len);
                return (offset < len).then(|| std::slice::from_raw_parts(start.add(offset), len - offset));
            }
            let alloc = (*(*self.cx).arena).find(at, 1)?;
            Some(std::slice::from_raw_parts(at as *const u8, (alloc.start + alloc.len - at) as usize))
        }
    }

    /// A string of the device.
    unsafe fn text_at(&self, program: &Program, lane: usize, at: u64) -> Option<Vec<u8>> {
        // SAFETY: passed on.
        let bytes = unsafe { self.bytes_at(program, lane, at)? };
        let end = bytes.iter().position(|b| *b == 0)?;
        Some(bytes[..end].to_vec())
    }

    /// A parameter of a call of at most eight bytes.
    unsafe fn argument(&self, program: &Program, ins: &Inst, lane: usize, k: usize) -> u64 {
        let (at, size) = program.sites[ins.id as usize].args[k];
        let mut bytes = [0u8; 8];
        let size = size.min(8) as usize;
        // SAFETY: offsets come from the layout of local memory.
        unsafe {
            let at = (self.frame_base(program, 1 << lane) + at) as usize;
            let from = self.local.add(lane * program.local as usize + at);
            std::ptr::copy_nonoverlapping(from, bytes.as_mut_ptr(), size);
        }
        u64::from_le_bytes(bytes)
    }

    /// `vprintf`: a format and the arguments, both in memory.
    unsafe fn print(&mut self, program: &Program, ins: &Inst, m: u32) -> Result<(), ()> {
        self.split(m);
        for lane in super::address::active(m) {
            // SAFETY: passed on; the context outlives the run.
            unsafe {
                let (pattern, args) = (self.argument(program, ins, lane, 0), self.argument(program, ins, lane, 1));
                let Some(pattern) = self.text_at(program, lane, pattern) else {
                    self.fault(ins, lane as u32, FaultKind::Load, pattern, 1);
                    return Err(());
                };
                // Without arguments there is no buffer.
                let args = self.bytes_at(program, lane, args).unwrap_or(&[]);
                let mut text = Vec::new();
                let used = super::output::format(&pattern, args, |at| self.text_at(program, lane, at), &mut text);
                (*self.cx).output.extend_from_slice(&text);
                if let Some((at, size)) = program.sites[ins.id as usize].results.first() {
                    let at = (self.frame_base(program, 1 << lane) + at) as usize;
                    let to = self.local.add(lane * program.local as usize + at);
                    std::ptr::copy_nonoverlapping(used.to_le_bytes().as_ptr(), to, (*size).min(4) as usize);
                }
            }
        }
        self.groups[self.current].pc += 1;
        Ok(())
    }

    /// `__assertfail`: message, file, line, function and the size of a character.
    unsafe fn assertion(&mut self, program: &Program, ins: &Inst, m: u32) {
        let lane = m.trailing_zeros() as usize;
        // SAFETY: passed on; the context outlives the run.
        unsafe {
            let text = |k| {
                let at = self.argument(program, ins, lane, k);
                String::from_utf8_lossy(&self.text_at(program, lane, at).unwrap_or_default()).into_owned()
            };
            let line = self.argument(program, ins, lane, 2) as u32;
            crate::checks::warn(&format!("{}:{line}: {}: assertion `{}` failed", text(1), text(3), text(0)));
        }
        self.fault(ins, lane as u32, FaultKind::Assert, 0, 0);
    }

    unsafe fn call_indirect(&mut self, program: &Program, ins: &Inst, m: u32) -> Result<(), ()> {
        // SAFETY: the target is a 64-bit slot.
        let targets = unsafe { self.lanes64(ins.r[4]) };
        self.split(m);
        let first = m.trailing_zeros();
        let wanted = targets[first as usize];
        let same = m & lane_mask(|l| targets[l] == wanted);
        if same != m {
            // The other targets come when their group runs again at this instruction.
            let g = &mut self.groups[self.current];
            g.mask = same;
            let other = Group { pc: g.pc, mask: m & !same, state: State::Run, stack: g.stack.clone() };
            self.groups.push(other);
        }
        let number = (wanted & !TAG_MASK) as usize;
        let index = program.functions.get(number).copied().flatten();
        let Some(index) = index.filter(|_| wanted & TAG_MASK == TAG_CODE) else {
            self.fault(ins, first, FaultKind::BadCall, wanted, 0);
            return Err(());
        };
        // SAFETY: passed on from the caller.
        unsafe { self.call(program, ins, index) }
    }

    /// A `.sync` operation: lanes wait until all live lanes of their mask are here.
    unsafe fn sync(&mut self, ins: &Inst, m: u32) -> Result<(), ()> {
        // SAFETY: the mask is a 32-bit slot.
        let masks = unsafe { self.lanes32(ins.r[5]) };
        self.split(m);
        let member = masks[m.trailing_zeros() as usize];
        let same = m & lane_mask(|l| masks[l] == member);
        if same != m {
            let g = &mut self.groups[self.current];
            g.mask = same;
            let other = Group { pc: g.pc, mask: m & !same, state: State::Run, stack: g.stack.clone() };
            self.groups.push(other);
        }
        if same & !member != 0 {
            self.fault(ins, (same & !member).trailing_zeros(), FaultKind::NotInMask, member as u64, 0);
            return Err(());
        }
        let pc = self.groups[self.current].pc;
        // `bar.warp.sync` may meet another one elsewhere; operations that exchange values must be the same one.
        let any_place = ins.imm == i64::MIN;
        let here = |g: &Group| g.state == State::Sync(member) && (any_place || g.pc == pc);
        let waiting = self.groups.iter().filter(|g| here(g)).fold(0, |a, g| a | g.mask);
        let all = same | waiting;
        if member & self.live & !all != 0 {
            self.groups[self.current].state = State::Sync(member);
            return Ok(());
        }
        self.meet(all);
        if any_place {
            for g in &mut self.groups {
                if here(g) {
                    g.state = State::Run;
                    g.pc += 1;
                }
            }
            self.groups[self.current].pc += 1;
            return Ok(());
        }
        if waiting != 0 {
            let mut current = self.groups.swap_remove(self.current);
            self.groups.retain(|g| !here(g));
            current.mask = all;
            self.groups.push(current);
            self.current = self.groups.len() - 1;
        }
        self.groups[self.current].pc += 1;
        // SAFETY: the second handler belongs to the same instruction.
        match unsafe { (ins.g)(self, ins, all) } {
            super::code::Flow::Fault => Err(()),
            _ => Ok(()),
        }
    }

    /// Notes for the race check that lanes have met.
    #[inline(always)]
    pub(super) fn meet(&mut self, lanes: u32) {
        // SAFETY: a warp's context outlives its run.
        if unsafe { (*self.cx).race.is_some() } {
            self.meets.meet(lanes, self.live);
        }
    }

    /// Barrier number and thread count (0 = whole block) of an instruction.
    unsafe fn barrier_operands(&mut self, ins: &Inst, m: u32) -> Result<(u32, u32), ()> {
        let lane = m.trailing_zeros();
        let value = |slot: u32| {
            if slot == super::code::NONE {
                return 0;
            }
            // SAFETY: the operand is a 32-bit slot.
            let lanes = unsafe { self.lanes32(slot) };
            lanes[lane as usize]
        };
        let (id, count) = (value(ins.r[0]), value(ins.r[1]));
        // SAFETY: a warp's context outlives its run.
        let threads = unsafe { (*self.cx).threads };
        if id >= 16 || count > threads.next_multiple_of(32) || count % 32 != 0 {
            self.fault(ins, lane, FaultKind::BadBarrier, id as u64, count);
            return Err(());
        }
        Ok((id, count))
    }

    unsafe fn barrier(&mut self, ins: &Inst, m: u32) -> Result<(), ()> {
        // SAFETY: passed on from the caller.
        let (id, count) = unsafe { self.barrier_operands(ins, m)? };
        self.split(m);
        self.groups[self.current].state = State::Barrier(id);
        // SAFETY: a warp's context outlives its run; the predicate operand is a slot.
        unsafe {
            let votes = if ins.ctl == Ctl::BarRed { super::ops::pred(self, ins.r[3]) & m } else { 0 };
            (*self.cx).arrive(id, count, m.count_ones(), votes.count_ones());
        }
        Ok(())
    }

    unsafe fn arrive(&mut self, ins: &Inst, m: u32) -> Result<(), ()> {
        // SAFETY: as in `barrier`.
        unsafe {
            let (id, count) = self.barrier_operands(ins, m)?;
            (*self.cx).arrive(id, count, m.count_ones(), 0);
        }
        Ok(())
    }
}

/// The mask of the lanes for which `f` holds.
pub(super) fn lane_mask(f: impl Fn(usize) -> bool) -> u32 {
    (0..LANES).fold(0, |m, l| m | (f(l) as u32) << l)
}
