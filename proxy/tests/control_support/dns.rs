//! A DNS server whose answers a test decides.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Instant;

use hickory_proto::op::{Message, OpCode, ResponseCode};
use hickory_proto::rr::{RData, Record, RecordType};
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

/// What is said about one name.
#[derive(Clone, Debug)]
pub enum Says {
    /// These addresses, of either family, for so many seconds.
    Addresses(Vec<IpAddr>, u32),
    /// These addresses, but an error for the questions of one type.
    FailsFor(RecordType, Vec<IpAddr>),
    /// These addresses, but an error for questions with extensions (EDNS), as old servers have it.
    Old(Vec<IpAddr>),
    /// An error.
    Fails(ResponseCode),
    /// Nothing at all.
    Silence,
}

#[derive(Default)]
struct State {
    names: HashMap<String, Says>,
    questions: Vec<(String, RecordType, Instant)>,
}

pub struct Dns {
    pub address: SocketAddr,
    state: Arc<Mutex<State>>,
    task: JoinHandle<()>,
}

impl Dns {
    pub async fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let state = Arc::<Mutex<State>>::default();
        let task = tokio::spawn(serve(socket, Arc::clone(&state)));
        Self { address, state, task }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub fn say(&self, name: &str, says: Says) {
        self.state().names.insert(name.to_owned(), says);
    }

    pub fn addresses(&self, name: &str, addresses: &[&str], ttl: u32) {
        let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
        self.say(name, Says::Addresses(addresses, ttl));
    }

    /// When the questions for one name and type came.
    pub fn questions(&self, name: &str, of: RecordType) -> Vec<Instant> {
        let state = self.state();
        let asked = state.questions.iter().filter(|(asked, kind, _)| asked == name && *kind == of);
        asked.map(|(_, _, at)| *at).collect()
    }

    /// `[dns]` for this server: `min_ttl` and the like follow.
    pub fn toml(&self, more: &str) -> String {
        format!("[dns]\nservers = [\"{}\"]\nretry_interval = \"100ms\"\ntimeout = \"1s\"\n{more}", self.address)
    }
}

impl Drop for Dns {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(socket: UdpSocket, state: Arc<Mutex<State>>) {
    let mut buffer = [0; 4096];
    loop {
        let Ok((length, peer)) = socket.recv_from(&mut buffer).await else { continue };
        let question = Message::from_vec(&buffer[..length]).unwrap();
        let answer = answer(&question, &mut state.lock().unwrap());
        if let Some(answer) = answer {
            let _ = socket.send_to(&answer.to_vec().unwrap(), peer).await;
        }
    }
}

fn answer(question: &Message, state: &mut State) -> Option<Message> {
    let query = question.queries[0].clone();
    let name = query.name().to_ascii().trim_end_matches('.').to_ascii_lowercase();
    state.questions.push((name.clone(), query.query_type(), Instant::now()));
    let says = match state.names.get(&name).cloned() {
        Some(Says::FailsFor(kind, addresses)) if kind != query.query_type() => Says::Addresses(addresses, 0),
        Some(Says::Old(_)) if question.edns.is_some() => Says::Fails(ResponseCode::FormErr),
        Some(Says::Old(addresses)) => Says::Addresses(addresses, 60),
        Some(says) => says,
        None => Says::Fails(ResponseCode::NXDomain),
    };
    let mut answer = Message::response(question.metadata.id, OpCode::Query);
    answer.metadata.recursion_desired = question.metadata.recursion_desired;
    answer.metadata.recursion_available = true;
    answer.add_query(query.clone());
    match says {
        Says::Silence => return None,
        Says::Fails(code) => answer.metadata.response_code = code,
        Says::Old(_) | Says::FailsFor(..) => answer.metadata.response_code = ResponseCode::ServFail,
        Says::Addresses(addresses, ttl) => {
            for address in addresses {
                let data = match (query.query_type(), address) {
                    (RecordType::A, IpAddr::V4(v4)) => RData::A(v4.into()),
                    (RecordType::AAAA, IpAddr::V6(v6)) => RData::AAAA(v6.into()),
                    _ => continue,
                };
                answer.add_answer(Record::from_rdata(query.name().clone(), ttl, data));
            }
        }
    }
    Some(answer)
}
