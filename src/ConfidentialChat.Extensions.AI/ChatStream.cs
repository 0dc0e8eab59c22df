using System.Text;
using ConfidentialChat.Client;
using ConfidentialChat.Client.Chat;
using Microsoft.Extensions.AI;

namespace ConfidentialChat.Extensions.AI;

/// <summary>
/// The chunks of one streamed answer, in the words of Microsoft.Extensions.AI. Calls of tools come in pieces and are handed out whole, once the
/// choice has finished: of a stream that breaks off none is. Not safe for concurrent use.
/// </summary>
internal sealed class ChatStream(ChatOptions? options)
{
    private readonly List<Piece> calls = [];
    private string? id;
    private string? model;

    public ChatResponseUpdate Next(ChatCompletionChunk chunk, VerifiedNode? node)
    {
        id ??= chunk.Id;
        model ??= chunk.Model;
        var update = Update(node);
        update.CreatedAt = ChatAnswer.TimeOf(chunk.Created);
        update.RawRepresentation = chunk;
        var choice = chunk.Choices.FirstOrDefault(choice => choice.Index == 0);
        if (choice?.Delta is { } delta)
        {
            ChatAnswer.AddText(update.Contents, ChatAnswer.ReasoningOf(delta.Extra), delta.Content, delta.Refusal, options);
            foreach (var call in delta.ToolCalls ?? [])
                Add(call);
        }

        if (choice?.FinishReason is { } reason)
        {
            update.FinishReason = ChatAnswer.ReasonOf(reason);
            Release(update.Contents);
        }

        if (ChatAnswer.UsageOf(chunk.Usage) is { } usage)
            update.Contents.Add(new UsageContent(usage));
        return update;
    }

    /// <summary>Calls whose pieces came behind the finish reason, as some engines have it; null where there are none.</summary>
    public ChatResponseUpdate? Rest(VerifiedNode? node)
    {
        if (calls.Count == 0)
            return null;
        var update = Update(node);
        Release(update.Contents);
        return update;
    }

    private ChatResponseUpdate Update(VerifiedNode? node) => new()
    {
        Role = ChatRole.Assistant,
        ResponseId = id,
        MessageId = id,
        ModelId = model,
        AdditionalProperties = ChatAnswer.NodeOf(node),
    };

    // Where an engine gives no index, a piece with an id begins a call.
    private void Add(ChatToolCall piece)
    {
        var call = piece.Index is { } index ? calls.Find(known => known.Index == index) : piece.Id is null ? calls.LastOrDefault() : null;
        if (call is null)
            calls.Add(call = new Piece { Index = piece.Index });
        call.Id ??= piece.Id;
        call.Name ??= piece.Function?.Name;
        call.Arguments.Append(piece.Function?.Arguments);
    }

    private void Release(IList<AIContent> contents)
    {
        foreach (var call in calls)
            contents.Add(ChatAnswer.Call(call.Id, call.Name, call.Arguments.ToString(), raw: null));
        calls.Clear();
    }

    private sealed class Piece
    {
        public int? Index { get; init; }

        public string? Id { get; set; }

        public string? Name { get; set; }

        public StringBuilder Arguments { get; } = new();
    }
}
