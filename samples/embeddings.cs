// Which of these texts is nearest to the first?
//   CONFIDENTIALCHAT_SERVER_URL=http://127.0.0.1:8080 CONFIDENTIALCHAT_API_KEY=cc_... dotnet run samples/embeddings.cs
#:project ../src/ConfidentialChat.Extensions.AI/ConfidentialChat.Extensions.AI.csproj
#:property RestorePackagesWithLockFile=false

using System.Numerics.Tensors;
using ConfidentialChat.Client;
using ConfidentialChat.Extensions.AI;

using var client = new ConfidentialChatClient();
var generator = client.AsIEmbeddingGenerator((await client.Models.ListAsync()).Data[0].Id);

string[] texts = ["a letter to my doctor", "a note for the physician", "the price of tin"];
var vectors = await generator.GenerateAsync(texts);
foreach (var (text, vector) in texts.Zip(vectors))
    Console.WriteLine($"{TensorPrimitives.CosineSimilarity(vectors[0].Vector.Span, vector.Vector.Span):0.00} {text}");
