//! Protocols that are recognised by name and read only as far as the verdict needs.

mod amqp;
mod dns;
mod ftp;
mod imap;
mod kafka;
mod ldap;
mod mqtt;
mod mysql;
mod pop3;
mod postgresql;
mod protocol;
mod redis;
mod smtp;
pub(crate) mod ssh;
mod text;

pub use protocol::{Exposed, Protocol};
pub use ssh::Summary as SshSummary;

pub(crate) use amqp::Amqp;
pub(crate) use dns::Dns;
pub(crate) use kafka::Kafka;
pub(crate) use ldap::Ldap;
pub(crate) use mqtt::Mqtt;
pub(crate) use mysql::Mysql;
pub(crate) use postgresql::Postgresql;
pub(crate) use redis::Redis;
pub(crate) use ssh::Ssh;
pub(crate) use text::Text;
