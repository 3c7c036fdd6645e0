//! Protobuf's wire format: numbered fields, each a number or a run of bytes.

use super::ProtobufError;

/// What a field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payload<'a> {
    /// A number, as long as it needs to be.
    Varint(u64),
    /// Eight bytes, or four.
    Fixed(u64),
    /// A text, bytes, or a message.
    Bytes(&'a [u8]),
}

impl<'a> Payload<'a> {
    /// The bytes.
    ///
    /// # Errors
    /// If it is a number.
    pub fn bytes(self) -> Result<&'a [u8], ProtobufError> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            Self::Varint(_) | Self::Fixed(_) => Err(super::WRONG_TYPE),
        }
    }

    /// The number.
    ///
    /// # Errors
    /// If it is bytes.
    pub fn number(self) -> Result<u64, ProtobufError> {
        match self {
            Self::Varint(number) | Self::Fixed(number) => Ok(number),
            Self::Bytes(_) => Err(super::WRONG_TYPE),
        }
    }
}

/// Reads a message's fields in order, up to the first that is broken.
pub struct Wire<'a> {
    rest: &'a [u8],
}

impl<'a> Wire<'a> {
    /// A reader of `message`.
    pub fn new(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    fn varint(&mut self) -> Result<u64, ProtobufError> {
        let mut number = 0u64;
        for shift in (0..70).step_by(7) {
            let (byte, rest) = self.rest.split_first().ok_or(ProtobufError::Truncated)?;
            self.rest = rest;
            if shift == 63 && *byte > 1 {
                break;
            }
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(ProtobufError::Malformed("a number has more than 64 bits"))
    }

    fn take(&mut self, length: u64) -> Result<&'a [u8], ProtobufError> {
        let length = usize::try_from(length).map_err(|_| ProtobufError::Truncated)?;
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(ProtobufError::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    fn field(&mut self) -> Result<(u32, Payload<'a>), ProtobufError> {
        let tag = self.varint()?;
        let number = u32::try_from(tag >> 3).map_err(|_| ProtobufError::Malformed("a field's number is too large"))?;
        let fixed = |bytes: &[u8]| bytes.iter().rev().fold(0u64, |number, byte| number << 8 | u64::from(*byte));
        let payload = match tag & 7 {
            0 => Payload::Varint(self.varint()?),
            1 => Payload::Fixed(fixed(self.take(8)?)),
            2 => {
                let length = self.varint()?;
                Payload::Bytes(self.take(length)?)
            }
            5 => Payload::Fixed(fixed(self.take(4)?)),
            _ => return Err(ProtobufError::Malformed("a field is of a type that doesn't exist")),
        };
        Ok((number, payload))
    }
}

impl<'a> Iterator for Wire<'a> {
    type Item = Result<(u32, Payload<'a>), ProtobufError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.rest = &[];
        }
        Some(field)
    }
}
